"""Tables as people have them (CSV, XLSX, Parquet), read for reconciliations and plans alike."""
