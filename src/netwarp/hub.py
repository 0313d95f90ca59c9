"""Models on the Hugging Face Hub, or in folders like its repositories: one file, and a card that people read."""

from __future__ import annotations

import json
import logging
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from netwarp.bases.load_model import load
from netwarp.errors import InputError, OutputError, needs_extra, reason_of, told_as
from netwarp.evaluation.scores import Scores, figures
from netwarp.input_files import expanded
from netwarp.model import VideoModel
from netwarp.output_files import write_file

FILE, CARD = "model.safetensors", "README.md"

log = logging.getLogger("netwarp")


def save(
    model: VideoModel, folder: Path, *, scores: Mapping[str, Any] | str | Path | None, repo_id: str | None
) -> None:
    """See :meth:`netwarp.VideoModel.save_pretrained`."""
    folder = expanded(folder)
    text = card(model, repo_id or folder.resolve().name, _rows(scores))
    model.save(folder / FILE)
    if (folder / CARD).exists():
        if scores is not None:
            log.warning("%s is there and stays: the scores are not in it", folder / CARD)
    else:
        write_file(folder / CARD, text)


def push(
    model: VideoModel,
    repo_id: str,
    *,
    scores: Mapping[str, Any] | str | Path | None,
    commit_message: str,
    private: bool | None,
    token: str | None,
    branch: str | None,
    create_pr: bool | None,
) -> str:
    """See :meth:`netwarp.VideoModel.push_to_hub`."""
    api = _library(f"push_to_hub({repo_id!r})").HfApi(token=token)
    with tempfile.TemporaryDirectory() as place:
        save(model, Path(place), scores=scores, repo_id=repo_id)
        with told_as(OutputError, f"{repo_id} cannot be uploaded to", "check the name, and log in ('hf auth login')"):
            api.create_repo(repo_id, private=private, exist_ok=True)
            if branch is not None:
                api.create_branch(repo_id, branch=branch, exist_ok=True)
            if api.file_exists(repo_id, CARD, revision=branch):
                (Path(place) / CARD).unlink()
                if scores is not None:
                    log.warning("%s has a card, which stays: the scores are not in it", repo_id)
            done = api.upload_folder(
                repo_id=repo_id, folder_path=place, commit_message=commit_message, revision=branch, create_pr=create_pr
            )
    return str(done.pr_url or done.commit_url)


def load_pretrained(
    where: str | Path,
    base: nn.Module | None,
    options: Mapping[str, Any],
    **download: Any,  # noqa: ANN401 - arguments of hf_hub_download
) -> VideoModel:
    """See :meth:`netwarp.VideoModel.from_pretrained`."""
    folder = expanded(where)
    if folder.is_dir():
        if not (folder / FILE).is_file():
            raise InputError(f"{folder} holds no {FILE}: name a folder that save_pretrained wrote")
        return load(folder / FILE, base, **options)
    if folder.is_file():
        raise InputError(f"{folder} is a file: netwarp.load reads it")
    if isinstance(where, Path) or str(where).count("/") > 1 or str(where).startswith((".", "/", "~")):
        raise InputError(f"there is no folder {where}: check the path, or name a repository of the hub as NAME/MODEL")
    hub = _library(f"from_pretrained({str(where)!r})")
    with told_as(InputError, f"{where} cannot be loaded from the hub", "check the name, or give a folder"):
        path = hub.hf_hub_download(str(where), FILE, library_name="netwarp", **download)
    return load(path, base, **options)


def _library(purpose: str) -> Any:  # noqa: ANN401 - a module
    with needs_extra("huggingface_hub", "hub", purpose):
        import huggingface_hub
    return huggingface_hub


def _rows(scores: Mapping[str, Any] | str | Path | None) -> dict[str, Scores]:
    """Scores by row, the model's own first, out of any of the forms that they come in."""
    if scores is None:
        return {}
    if isinstance(scores, (str, Path)):
        try:
            scores = json.loads(expanded(scores).read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"{scores} cannot be read ({reason_of(error)}): give the file of --json") from error
    if not isinstance(scores, Mapping) or not scores:
        raise InputError("the scores are no figures by name: give what 'netwarp evaluate --json FILE' wrote")
    if all(isinstance(value, Mapping) for value in scores.values()):
        return {str(name): dict(row) for name, row in scores.items()}
    return {"this model": dict(scores), **scores.get("compared_with", {})}


def card(model: VideoModel, name: str, rows: Mapping[str, Scores]) -> str:
    """The model card: what the model is, how it is used, and what it reaches."""
    described = model.configuration()
    source = described["base"]
    base = source["spec"] if isinstance(source, dict) else type(model.base).__name__
    needs = "" if source else ", base=my_network"
    facts = {
        "network": f"`{base}`",
        "NetWarps at": ", ".join(f"`{layer}`" for layer in model.layers) or "none: frame by frame",
        "optical flow": f"`{described['flow']}`",
        "trained": "no (`training_free`)" if model.training_free else "yes",
        f"{len(model.classes)} classes": ", ".join(map(str, model.classes)),
    }
    lines = [
        *("---", "library_name: netwarp", "pipeline_tag: image-segmentation"),
        *("tags:", "- netwarp", "- semantic-segmentation", "- video", "---", "", f"# {name}", ""),
        "A segmentation network for video: optical flow carries the previous frame's representation to the current one",
        "(Gadde, Jampani, Gehler: *Semantic Video CNNs through Representation Warping*, ICCV 2017).",
        *("", *_table(["", ""], [list(pair) for pair in facts.items()]), ""),
        *("```python", "import netwarp", ""),
        f'model = netwarp.VideoModel.from_pretrained("{name}"{needs})',
        *('for result in netwarp.segment("in.mp4", model):', "    print(result.index, result.labels.shape)", "```"),
    ]
    if rows:
        lines += ["", "## Evaluation", "", *_evaluation(rows), "", "In %, but for times (`netwarp evaluate`)."]
    return "\n".join([*lines, ""])


def _evaluation(rows: Mapping[str, Scores]) -> list[str]:
    """A table of all figures that are numbers, or numbers by width or length."""
    columns: dict[str, dict[str, str]] = {}  # by heading and row
    for name, scores in rows.items():
        for key, figure in figures(scores).items():
            value = scores[key]
            for part, each in value.items() if isinstance(value, Mapping) else [(None, value)]:
                if isinstance(each, (int, float)) and math.isfinite(each) and "per_class" not in key:
                    columns.setdefault(figure.head.format(part), {})[name] = f"{each:.{figure.digits}f}"
    return _table(["", *columns], [[name, *(column.get(name, "") for column in columns.values())] for name in rows])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
