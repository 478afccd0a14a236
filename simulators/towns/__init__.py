"""Towns: who lives where, what happens, what is measured, and what is true of it."""
