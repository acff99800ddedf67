from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("quotas", "0003_network_policy"),
    ]

    operations = [
        migrations.AddField(
            model_name="networkpolicy",
            name="substitutes",
            field=models.BooleanField(default=False),
        ),
    ]
