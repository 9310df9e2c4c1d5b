"""The stages, a module each: what each one reads, decides and writes. Their order is data_pipeline.pipeline's.

The rooms (clean, dedup, decontaminate, mix, tokenize) decide and know no disk; the stages read, commit and account.
`clean` is the map stage: a function of each partition alone. The others are global: they look at the whole corpus.
"""
