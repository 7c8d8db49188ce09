"""The log in a SQLite file or in SQLite's memory: connections, transactions, statements."""
