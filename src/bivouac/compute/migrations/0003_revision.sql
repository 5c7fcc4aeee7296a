-- Names each state of a server's row, for what is remembered of it.
ALTER TABLE servers ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
