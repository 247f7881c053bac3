#!/bin/sh
# Makes the namespace that TEMPORAL_NAMESPACE names and its search attributes; safe to run again.
set -eu

# Workflow ids are refused as duplicates for as long as closed workflows are kept.
RETENTION=30d

temporal operator namespace describe -n "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
	temporal operator namespace create -n "$TEMPORAL_NAMESPACE" --retention "$RETENTION"

for name in Account Market Action OrderState SignalId TraceId; do
	tries=0
	# A new namespace takes some seconds to be known to the whole server.
	until temporal operator search-attribute create -n "$TEMPORAL_NAMESPACE" --name "$name" --type Keyword; do
		tries=$((tries + 1))
		[ "$tries" -lt 30 ] || exit 1
		sleep 1
	done
done
