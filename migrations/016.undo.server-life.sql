DROP TABLE server_life;
