"""PostgreSQL: tables and one function per transaction."""
