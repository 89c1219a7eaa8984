"""The report, one page that needs nothing beside itself, and a scale's kept evidence."""
