#!/bin/sh
# Brings Temporal's two databases to the tables its server wants; safe to run again.
# On an upgrade of the server this runs first, one minor version at a time.
set -eu

for database in temporal temporal_visibility; do
	schema=${database#temporal_}
	sql() {
		temporal-sql-tool --plugin postgres12 --ep postgresql -p 5432 -u temporal --db "$database" "$@"
	}
	sql setup-schema -v 0.0
	sql update-schema -d "/etc/temporal/schema/postgresql/v12/$schema/versioned"
done
