"""The engine: what a room, a table and a stage are; plans, runs, sources, session, progress."""
