DROP TABLE posts, users, products, items;
