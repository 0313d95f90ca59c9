"""Other people's files turned into ours: the weights that papers were published with."""
