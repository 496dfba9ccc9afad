"""Quality of whole exposures, from FITS files and without labels."""
