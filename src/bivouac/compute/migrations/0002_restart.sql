-- Tasks that change what a guest is made of stop it first.
ALTER TABLE servers ADD COLUMN restart BIGINT NOT NULL DEFAULT 0;
