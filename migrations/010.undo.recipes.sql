DROP TABLE recipe_items;
DROP TABLE recipes;
