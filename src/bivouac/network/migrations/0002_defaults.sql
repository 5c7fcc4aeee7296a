-- What an operator chose about networks: one row.
CREATE TABLE network_defaults (
    id INTEGER PRIMARY KEY,
    mtu INTEGER NOT NULL,
    physical_network TEXT NOT NULL
);
