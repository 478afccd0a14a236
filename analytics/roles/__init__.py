"""What runs in an installation: judging what arrives, and telling what a change would alter."""
