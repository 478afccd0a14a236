"""How fast it is, as ratios: each figure stands beside its peer, measured in the same run on the same machine."""
