"""Makes the secrets of an installation: passwords and tokens, mosquitto's accounts, certificates for its TLS."""
