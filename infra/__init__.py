"""Everything that touches the outside: clock, PostgreSQL, exchange, telemetry."""
