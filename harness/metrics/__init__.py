"""What images are measured with. Every extractor is a class that can be exchanged for a real model's own."""
