-- No migration: services/database/migrations.ts enters this once. Tables that somebody has filled are left alone.
INSERT INTO users (name)
SELECT name FROM (VALUES (1, 'Cached User A'), (2, 'Cached User B'), (3, 'Cached User C')) AS sample (position, name)
WHERE NOT EXISTS (SELECT FROM users)
ORDER BY position;

INSERT INTO posts (title)
SELECT title FROM (VALUES (1, 'Cached post A'), (2, 'Cached post B')) AS sample (position, title)
WHERE NOT EXISTS (SELECT FROM posts)
ORDER BY position;

INSERT INTO products (name, description, unit, price, category, stock_quantity)
SELECT name, description, unit, price, category, stock_quantity FROM (VALUES
  (1, 'Sample Product', 'A sample product', NULL, 29.99, 'Electronics', 100),
  (2, 'Wireless Mouse', 'Three buttons, one year on a battery', NULL, 24.50, 'Electronics', 60),
  (3, 'Mechanical Keyboard', 'Hot-swappable switches', NULL, 89.00, 'Electronics', 25),
  (4, 'Coffee Beans', 'Dark roast', 'kg', 18.75, 'Groceries', 40),
  (5, 'Plain Flour', 'For bread and pastry', 'kg', 1.29, 'Groceries', 200),
  (6, 'Olive Oil', 'Cold pressed', 'l', 9.95, 'Groceries', 80),
  (7, 'Notebook', '160 pages, dotted', NULL, 4.20, 'Stationery', 150),
  (8, 'Desk Lamp', 'Warm white, dimmable', NULL, 39.90, 'Home', 30)
) AS sample (position, name, description, unit, price, category, stock_quantity)
WHERE NOT EXISTS (SELECT FROM products)
ORDER BY position;
