DROP TABLE setting_instances;
