"""Pictures of what judging finds, drawn from readings that are judged."""
