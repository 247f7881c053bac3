"""PostgreSQL and Temporal on one machine, and the supervisor that keeps them up."""
