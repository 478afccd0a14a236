"""What makes rooms warm and cold: houses, radiators, plants, sun and weather."""
