"""A classifier of the user's own: trained on good and bad examples, judged on held-out ones, used to clean."""
