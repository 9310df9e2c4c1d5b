"""What the numbers mean that stages measure on the way, for those who read the page."""

from __future__ import annotations

# Names of this project's own stages and rules; another rule's own name speaks for itself.
MEANINGS = {
    "line_ends_rewritten": "\\r\\n and \\r that became \\n",
    "control_characters_dropped": "characters that no text shows",
    "documents_composed": "documents where letters with accents became one character each (NFC)",
    "files_cut_short": "input files whose last record ends before it is whole: what followed in them is missing",
    "files_without_a_record": "input files that hold none: a download that failed looks like this",
    "documents_with_repeated_id": "documents whose id one before them in the same source has; nothing here goes by it",
    "files_without_checksum": "input files in which a flipped bit may go unseen: plain, Arrow, zstandard and parquet "
    "written without checksums",
    "bytes_without_checksum": "of the input as it is stored, what no checksum of its format vouches for",
    "documents_without_keep_field": "documents that do not have dedup.keep_field: they went before any that has it",
    "candidate_documents": "documents that the search compared with another at all",
    "clusters": "groups of them that candidate pairs connect; no claim that all in a group are alike",
    "largest_cluster": "documents in the largest of these groups",
    "pairs_verified": "pairs whose shingles were compared exactly",
    "pairs_below_threshold": "of these, too unlike: both stay",
    "pairs_ruled_out": "pairs not compared exactly: their signatures are too unlike already",
    "planted_pairs": "near-duplicates made of a sample of this text, to test these settings; they are in no output",
    "planted_similar": "of these, at the threshold or above",
    "planted_found": "of these, found: their share is the recall of these settings",
    "planted_removed": "documents of the planted pairs that were removed",
    "planted_removed_rightly": "of these, similar enough to the one kept: their share is the precision",
    "repeated_paragraphs": "different paragraphs that more than paragraphs.max_documents documents hold",
    "paragraphs_cut": "copies of these that were taken out",
    "repeated_lines": "different lines that more than paragraphs.max_documents documents hold",
    "lines_cut": "copies of these that were taken out",
    "documents_cut": "documents that a copy was taken out of, and that stay",
    "bytes_cut": "UTF-8 bytes of these copies",
    "test_items": "what was sought, the held-out documents among them",
    "items_too_short": "of these, under decontaminate.min_words: never found",
    "items_of_common_ngrams": "of these, made of common phrases alone: never found",
    "ngrams": "different runs of words in the test items",
    "common_ngrams": "of these, in more documents than decontaminate.max_document_frequency: they don't count",
    "contaminated_pieces_cut": "runs of sentences that hold a test item, cut out with decontaminate.action=cut",
    "contaminated_documents_cut": "documents that they were cut out of, and that stay",
    "copies_unchanged": "copies that came out as their document, or another copy of it, is: they were left out",
}
