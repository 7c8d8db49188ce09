"""The log in PostgreSQL 15 or newer, by psycopg: connections, transactions, statements."""
