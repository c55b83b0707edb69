"""Read tables (CSV, XLSX, Parquet) for reconciliations and plans."""
