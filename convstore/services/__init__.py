"""The verbs: plain functions of (deps, principal, …), each owning its transactions. No HTTP in here, no SQL."""
