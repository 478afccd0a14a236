"""From readings to messages at a broker, in a clock that moves step by step."""
