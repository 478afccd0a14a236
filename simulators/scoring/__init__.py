"""How well what was found agrees with what is true."""
