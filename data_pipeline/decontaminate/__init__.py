"""Which documents hold a test item."""
