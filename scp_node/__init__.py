"""The DICOM door: what comes in over C-STORE, and what leaves for the PACS."""
