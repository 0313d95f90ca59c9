"""The methods by which a model goes to a hub and comes from there, called as those of ``huggingface_hub`` are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self


class HubMethods:
    """Give :class:`.VideoModel` the methods of ``huggingface_hub.ModelHubMixin``; :mod:`netwarp.hub` has what they do.

    A repository, or a folder like one, holds the one file that :meth:`.VideoModel.save` writes, ``model.safetensors``,
    and a model card, ``README.md``.
    """

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        scores: Mapping[str, Any] | str | Path | None = None,
        repo_id: str | None = None,
    ) -> None:
        """Write the file and the card into a folder; a card that is there stays.

        Args:
            save_directory: The folder.
            scores: What the model reaches, for a table in the card: what :func:`netwarp.evaluation.evaluate.evaluate`
                returns, or the file of ``netwarp evaluate --json``.
            repo_id: The repository that the card speaks of, ``"NAME/MODEL"``; by default the folder's name.

        Raises:
            WeightsError: the model holds NaN or infinite values.
            InputError: ``scores`` is no file of scores.
            ConfigurationError: the flow or gate cannot be named in a file.
            OutputError: the folder cannot be written.
        """
        importlib.import_module("netwarp.hub").save(self, Path(save_directory), scores=scores, repo_id=repo_id)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        scores: Mapping[str, Any] | str | Path | None = None,
        commit_message: str = "Push a netwarp model",
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
    ) -> str:
        """Upload the file and the card to a repository on the Hugging Face Hub, which is made where there is none.

        Args:
            repo_id: ``"NAME/MODEL"``.
            scores: As in :meth:`save_pretrained`. A card that is there stays.
            commit_message: Of the upload.
            private: Whether a new repository is; by default what the organisation's is.
            token: Of the account; by default that of ``hf auth login``.
            branch: To upload to; by default the main one.
            create_pr: Whether to propose the upload instead.

        Returns:
            The address of the upload.

        Raises:
            MissingExtraError: ``huggingface_hub`` is not installed.
            OutputError: the hub refuses, or cannot be reached.
            WeightsError, ConfigurationError, InputError: as for :meth:`save_pretrained`.
        """
        pushed: str = importlib.import_module("netwarp.hub").push(
            self, repo_id, scores=scores, commit_message=commit_message, private=private, token=token, branch=branch,
            create_pr=create_pr,
        )  # fmt: skip
        return pushed

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        base: Any = None,  # noqa: ANN401 - a module
        *,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        **options: Any,  # noqa: ANN401
    ) -> Self:
        """Load a model from a folder that :meth:`save_pretrained` wrote, or from a repository of the hub.

        Only ``model.safetensors`` is read, as :func:`netwarp.load` reads it: no code runs, and nothing that it names
        outside of itself is taken without ``trust=True``.

        Args:
            pretrained_model_name_or_path: The folder, or ``"NAME/MODEL"``.
            base: The network, as in :func:`netwarp.load`.
            revision: Branch, tag or commit of the repository.
            token: Of the account, for a private repository; by default that of ``hf auth login``.
            cache_dir: Folder that downloads are kept in.
            force_download: Whether to download what is kept.
            local_files_only: Whether to take what is kept, and ask nobody.
            **options: ``flow``, ``gate`` and ``trust`` of :func:`netwarp.load`.

        Returns:
            The model, in evaluation mode.

        Raises:
            MissingExtraError: ``huggingface_hub`` is not installed, and no folder is meant.
            InputError: There is no such folder or repository, it holds no model, or the hub cannot be reached.
            WeightsError, ConfigurationError: as for :func:`netwarp.load`.
        """
        loaded: Self = importlib.import_module("netwarp.hub").load_pretrained(
            pretrained_model_name_or_path, base, options, revision=revision, token=token, cache_dir=cache_dir,
            force_download=force_download, local_files_only=local_files_only,
        )  # fmt: skip
        return loaded
