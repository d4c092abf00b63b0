"""The core types: events, records, generations, errors. No I/O and no asyncio."""
