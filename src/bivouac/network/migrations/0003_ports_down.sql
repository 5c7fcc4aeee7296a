-- Ports that are not up are few once a cloud runs: finding those to watch must not read all others.
CREATE INDEX ports_down ON ports (binding_host) WHERE up = 0;
-- Quotas count ports of a project; an index that holds all the count needs is read alone.
CREATE INDEX ports_by_project_owner ON ports (project_id, device_owner);
DROP INDEX ports_by_project;
