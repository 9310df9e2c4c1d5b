"""The tokenizer, trained or given, and the encoder that turns texts into ids."""
