"""What `heatwatch doctor` looks at: one small function a matter, listed in `cli.doctoring.checks`."""
