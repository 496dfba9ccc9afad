"""The warehouse: states, ledger, storage, lock; no Spark."""
