"""What everything else is made of: events, records, generations, errors. No I/O, no asyncio."""
