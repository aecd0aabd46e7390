DROP TABLE api_keys;
DROP TABLE credentials_revision;
