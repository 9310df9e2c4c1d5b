"""Executors run functions over items, here or on other processes; they know nothing of what is in them."""
