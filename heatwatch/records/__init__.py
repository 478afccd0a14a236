"""What heatwatch knows besides readings: register, findings, tickets, delivery; SQLAlchemy on SQLite or PostgreSQL."""
