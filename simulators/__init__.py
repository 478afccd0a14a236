"""Towns of thermometers whose truth is known, and the replay of what was measured."""
