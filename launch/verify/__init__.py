"""What verify_resume.py does: a shortened run trained twice, once with kills, and on other numbers of ranks."""
