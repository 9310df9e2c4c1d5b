"""Rules that change the text of documents or take documents out: Unicode form, length, quality."""
