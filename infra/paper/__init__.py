"""An exchange that speaks the wire of Polymarket, with a durable ledger of its own."""
