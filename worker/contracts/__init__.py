"""What crosses the edge, for machines to read: JSON Schemas of values and headers, and the AsyncAPI document."""
