"""What commands print: JSON documents, tables and findings."""
