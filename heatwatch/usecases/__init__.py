"""What more than one part of heatwatch does: load, record, deliver, decide."""
